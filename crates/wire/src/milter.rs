//! The milter protocol, version 6, as Postfix and Sendmail speak it: a mail server shows a message while it takes it in.
//!
//! In: the connection of a mail server. Out: [`Event`]s, one after the other; whoever asks answers those that need an answer, and at the end of a
//! message says what is to be changed. There is no RFC: the protocol is what libmilter does (`mfdef.h`, version 6). Never: a message held here, or
//! a message let through because an answer was forgotten.

pub mod limit;
pub mod agreement;
mod packet;
mod macros;
mod event;
mod answer;
mod session;

pub use agreement::Actions;
pub use answer::{Answer, Change, Unsayable};
pub use event::{Event, Peer, PeerAddress};
pub use session::{MilterError, Session, Settings};

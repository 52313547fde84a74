//! The public half: a message, certificates and a policy in; a sealed message and the means to prove a stored copy out.
//!
//! Never: a secret decryption key (it cannot open what it sealed, except with the session key of a message it is sealing
//! right now), a socket, a file. The modules stand in the order of the floors.

pub mod wrap;
pub mod cms_wrap;
pub mod recipient;
pub mod certificate;
pub mod openpgp;
pub mod x509;
pub mod certificate_file;
pub mod copies;
pub mod policy;
pub mod enrolment;
pub mod settings;
pub mod error;
pub mod list_view;
mod base64_code;
mod deflate;
mod survey;
mod encrypt;
pub mod proof;
pub mod seal;

pub use certificate::{Certificate, CertificateError};
pub use enrolment::{Enrolment, EnrolmentError, Scheme};
pub use error::SealError;
pub use policy::{OuterFrom, OuterId, Policy};
pub use proof::{Expectation, ProofError, Proved};
pub use recipient::{RecipientKey, WrapError};
pub use seal::{Sealing, seal};
pub use settings::{Compression, NewId, Padding, Place, Settings};

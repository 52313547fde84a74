//! The secret half: a sealed message and an unlocked key in; the whole verified original out, or nothing.
//!
//! Never: a socket, a file, an octet of an original before all of it was verified. The modules stand in the order of
//! the floors.

pub mod unwrap;
pub mod secret_key;
pub mod open;

pub use open::{OpenError, Opened, headers, open};
pub use secret_key::{Algorithm, KeyError, Lock, SecretKey};
pub use unwrap::{Keyring, UnwrapError};

//! The secret half: a sealed message and an unlocked key in; the whole verified original out, or nothing.
//!
//! Never: a socket, a file, an octet of an original before all of it was verified. The modules stand in the order of
//! the floors.

mod cms_unwrap;
pub mod unwrap;
pub mod secret_key;
pub mod x509_key;
pub mod any_key;
pub mod open;

pub use any_key::AnySecretKey;
pub use open::{OpenError, Opened, headers, headers_with_id, open};
pub use secret_key::{Algorithm, KeyError, Lock, SecretKey};
pub use unwrap::{Keyring, UnwrapError};
pub use x509_key::X509SecretKey;

//! The session key SK: 32 octets, used for one message only. Zeroised; no `Debug`.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::identity::random;

/// A message's session key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(random())
    }

    /// One that was unwrapped; None unless it has 32 octets (AES-256).
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(Self(octets.try_into().ok()?))
    }

    /// The 32 octets.
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

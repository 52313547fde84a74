//! stub
use zeroize::Zeroizing;

/// Who logs in, and with what.
#[derive(Clone)]
pub enum Credentials {
    /// A password, also one made for an application.
    Password {
        /// The account.
        user: String,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// An OAuth 2 access token.
    Token {
        /// The account.
        user: String,
        /// Its token.
        token: Zeroizing<String>,
    },
}

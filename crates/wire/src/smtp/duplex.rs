//! A stream in both directions, whatever carries it.
//!
//! In: TCP, a unix socket, TLS over either. Out: one type, so that a session may change what carries it (STARTTLS).

use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

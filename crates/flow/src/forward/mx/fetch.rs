//! The text of a domain's policy, fetched from the one place where it may be (RFC 8461 §3.3).
//!
//! In: a domain, the addresses of its policy host. Out: a text of limited size, from a host that proved its name, or nothing. Follows no redirect,
//! sends nothing but the name of the host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::Trust;

use super::policy::MAX_TEXT;

/// RFC 8461 §3.3 suggests a minute.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches it.
pub(crate) async fn fetch(domain: &str, addresses: &[IpAddr], port: u16, trust: &Trust) -> Option<String> {
    timeout(PATIENCE, ask(&format!("mta-sts.{domain}"), addresses, port, trust)).await.ok()?
}

async fn ask(host: &str, addresses: &[IpAddr], port: u16, trust: &Trust) -> Option<String> {
    let places: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let stream = TcpStream::connect(&places[..]).await.ok()?;
    let stream = wire::tls::wrap(stream, host, trust).await.ok()?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/.well-known/mta-sts.txt")
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = send.send_request(request).await.ok()?;
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain"));
    if answer.status() != StatusCode::OK || !is_text {
        return None;
    }
    let body = Limited::new(answer.into_body(), MAX_TEXT).collect().await.ok()?;
    connection.abort();
    String::from_utf8(body.to_bytes().to_vec()).ok()
}

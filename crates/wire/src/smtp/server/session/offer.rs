//! What is agreed on before mail comes: what is offered (RFC 5321 §4.1.1.1), TLS (RFC 3207), who is at the other side (XFORWARD, XCLIENT).
//!
//! In: a greeting, or what a trusted host says. Out: a session that knows more than before. What was said in clear is forgotten within TLS.

use super::{Session, SessionError, Stage};
use crate::smtp::lines::Lines;
use crate::smtp::reply::Reply;
use crate::smtp::server::settings::Extension;
use crate::smtp::xforward::Xforward;

impl Session {
    pub(super) async fn offer(&mut self) -> Result<(), SessionError> {
        self.over();
        self.extended = true;
        let mut lines = vec![self.settings.hello.clone(), "PIPELINING".to_owned()];
        lines.push(format!("SIZE {}", self.settings.max_message));
        if self.settings.tls.is_some() && !self.client.tls {
            lines.push("STARTTLS".to_owned());
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let more = [
            ("8BITMIME", Extension::EightBitMime),
            ("DSN", Extension::Dsn),
            ("SMTPUTF8", Extension::SmtpUtf8),
            ("CHUNKING", Extension::Chunking),
            ("BINARYMIME", Extension::BinaryMime),
        ];
        let offered = more.iter().filter(|(_, extension)| self.settings.offers(*extension));
        lines.extend(offered.map(|(name, _)| (*name).to_owned()));
        if self.settings.trusts(self.client.address) {
            lines.push("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE".to_owned());
            lines.push("XCLIENT NAME ADDR PORT PROTO HELO LOGIN".to_owned());
        }
        self.put(&Reply::bare(250, lines)).await
    }

    pub(super) async fn start_tls(&mut self) -> Result<(), SessionError> {
        let Some(config) = self.settings.tls.clone().filter(|_| !self.client.tls && self.extended) else {
            return self.wrong(503, (5, 5, 1), "not now").await;
        };
        if self.lines.has_more() {
            // Sent in clear, to be read as if it had come within TLS (CVE-2011-0411).
            let text = "nothing may follow STARTTLS";
            return Err(self.farewell(501, (5, 5, 1), text, SessionError::Protocol).await);
        }
        self.say(&Reply::new(220, (2, 0, 0), "go on")).await?;
        let stream = self.lines.take_stream().ok_or(SessionError::Closed)?;
        let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
        let patience = self.settings.command_time;
        let stream = tokio::time::timeout(patience, accept).await.map_err(|_| SessionError::TimedOut)?;
        self.lines = Lines::new(Box::new(stream.map_err(SessionError::Tls)?));
        self.client.tls = true;
        // All that was said in clear is forgotten (RFC 3207 §4.2).
        self.over();
        (self.stage, self.extended) = (Stage::New, false);
        Ok(())
    }

    pub(super) async fn xforward(&mut self, said: &str) -> Result<(), SessionError> {
        if !self.settings.trusts(self.client.address) {
            return self.wrong(550, (5, 7, 1), "not believed").await;
        }
        let mut xforward = self.client.xforward.take().unwrap_or_default();
        if !matches!(self.stage, Stage::Ready) || !xforward.take(said) {
            return self.wrong(501, (5, 5, 4), "XFORWARD name=value, between messages").await;
        }
        self.client.xforward = Some(xforward);
        self.put(&Reply::new(250, (2, 0, 0), "ok")).await
    }

    pub(super) async fn xclient(&mut self, said: &str) -> Result<(), SessionError> {
        if !self.settings.trusts(self.client.address) {
            return self.wrong(550, (5, 7, 1), "not believed").await;
        }
        let mut xforward = Xforward::default();
        if !matches!(self.stage, Stage::Ready | Stage::New) || !xforward.take(said) {
            return self.wrong(501, (5, 5, 4), "XCLIENT name=value, between messages").await;
        }
        self.introduced = Some(xforward);
        self.over();
        (self.stage, self.extended) = (Stage::New, false);
        let hello = self.settings.hello.clone();
        self.put(&Reply::bare(220, vec![hello])).await
    }
}

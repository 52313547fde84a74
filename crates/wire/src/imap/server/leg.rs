//! The way between a server and a mail program: plain, within TLS (RFC 2595 §3, RFC 8314), deflated (RFC 4978).
//!
//! In: a connected socket, whose reads may time out. Out: octets both ways; a copy of it is the same way. Never: octets taken for protected that
//! came before the handshake; more in memory than one piece of either side.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use rustls::ServerConnection;

use crate::deflate::{Deflate, Inflate};
use crate::tls::ServerTls;

/// See the file's head.
#[derive(Clone)]
pub struct Leg(Rc<RefCell<Way>>);

struct Way {
    below: Below,
    packing: Option<Packing>,
}

/// The socket, and what protects it.
struct Below {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

struct Packing {
    inflate: Inflate,
    deflate: Deflate,
    /// Octets of one read.
    step: Vec<u8>,
}

/// Packed octets read at a time.
const STEP: usize = 16 << 10;

impl Leg {
    /// A way that is plain so far.
    pub fn new(socket: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(Way { below: Below { socket, tls: None }, packing: None })))
    }

    /// Shakes hands; from now on all is within TLS. `patience`: asked again and again; false ends it.
    pub fn secure(&self, tls: &ServerTls, patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let mut way = self.0.borrow_mut();
        let tls = ServerConnection::new(tls.clone()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        way.below.tls = Some(Box::new(tls));
        way.below.shake_hands(patience)
    }

    /// Whether it is within TLS.
    pub fn is_secure(&self) -> bool {
        self.0.borrow().below.tls.is_some()
    }

    /// From now on all is deflated.
    pub fn pack(&self) {
        let packing = Packing { inflate: Inflate::new(), deflate: Deflate::new(), step: vec![0; STEP] };
        self.0.borrow_mut().packing = Some(packing);
    }

    /// Whether it is deflated.
    pub fn is_packed(&self) -> bool {
        self.0.borrow().packing.is_some()
    }
}

impl Below {
    fn shake_hands(&mut self, patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            if !patience() {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.pull() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_nothing_yet(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.push()
    }

    /// Reads from the socket once, and answers what asks for an answer.
    fn pull(&mut self) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let count = tls.read_tls(&mut self.socket)?;
        if tls.process_new_packets().is_err() {
            // The alert tells the other side why; whether it arrives does not matter.
            let _ = tls.write_tls(&mut self.socket);
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.push()?;
        Ok(count)
    }

    fn push(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            if tls.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.socket.read(into) };
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.pull()? == 0 {
                return Ok(0);
            }
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut rest = octets;
        while !rest.is_empty() {
            let Some(tls) = &mut self.tls else { return self.socket.write_all(rest) };
            let taken = tls.writer().write(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            self.push()?;
        }
        Ok(())
    }
}

impl Read for Leg {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut way = self.0.borrow_mut();
        let Way { below, packing } = &mut *way;
        let Some(packing) = packing else { return below.read(into) };
        loop {
            let made = packing.inflate.give(into)?;
            if made > 0 {
                return Ok(made);
            }
            let count = below.read(&mut packing.step)?;
            if count == 0 {
                return Ok(0);
            }
            packing.inflate.feed(packing.step.get(..count).unwrap_or_default());
        }
    }
}

impl Write for Leg {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut way = self.0.borrow_mut();
        let Way { below, packing } = &mut *way;
        match packing {
            Some(packing) => below.write(packing.deflate.pack(octets)?)?,
            None => below.write(octets)?,
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut way = self.0.borrow_mut();
        let Way { below, packing } = &mut *way;
        if let Some(packing) = packing {
            below.write(packing.deflate.finish_piece()?)?;
        }
        below.socket.flush()
    }
}

impl Drop for Below {
    /// Tells the other side that no more will come.
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.socket);
        }
    }
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

//! A name server for tests: answers on loopback from a few records, by UDP (RFC 1035 §4.1).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a name has.
#[derive(Clone, Debug)]
pub enum Record {
    /// A text, cut into strings of 255 octets as it must be.
    Txt(String),
    /// An address.
    A(Ipv4Addr),
    /// A mail server.
    Mx(u16, String),
    /// Every question about the name is answered with SERVFAIL.
    Fails,
    /// No question about the name is answered.
    Silent,
}

/// A name server, until it is dropped.
pub struct Names {
    address: SocketAddr,
    records: Arc<Mutex<HashMap<String, Vec<Record>>>>,
    asked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    /// Serves these records; other names do not exist.
    pub fn serve<'a>(records: impl IntoIterator<Item = (&'a str, Record)>) -> Names {
        Names::serve_at((Ipv4Addr::LOCALHOST, 0).into(), records).expect("a port")
    }

    /// The same at an address of its own: port 53, for programs that ask nowhere else. None when it is not to be had.
    pub fn serve_at<'a>(address: SocketAddr, records: impl IntoIterator<Item = (&'a str, Record)>) -> Option<Names> {
        let socket = UdpSocket::bind(address).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut names = Names {
            address: socket.local_addr().expect("an address"),
            records: Arc::default(),
            asked: Arc::default(),
            ends: Arc::default(),
            thread: None,
        };
        for (name, record) in records {
            names.add(name, record);
        }
        let (records, asked, ends) = (Arc::clone(&names.records), Arc::clone(&names.asked), Arc::clone(&names.ends));
        names.thread = Some(std::thread::spawn(move || {
            let mut question = [0; 4096];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&question[..length], &records.lock().expect("records")) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        }));
        Some(names)
    }

    /// One more record.
    pub fn add(&self, name: &str, record: Record) {
        self.records.lock().expect("records").entry(name.to_ascii_lowercase()).or_default().push(record);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// None: silence.
fn answer(question: &[u8], records: &HashMap<String, Vec<Record>>) -> Option<Vec<u8>> {
    let (name, end) = name(question)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let found = records.get(&name);
    let all = found.map(Vec::as_slice).unwrap_or_default();
    if all.iter().any(|record| matches!(record, Record::Silent)) {
        return None;
    }
    let code: u8 = match found {
        None => 3,
        Some(all) if all.iter().any(|record| matches!(record, Record::Fails)) => 2,
        Some(_) => 0,
    };
    let datas: Vec<Vec<u8>> = all.iter().filter_map(|record| data(record, kind)).collect();
    let mut out = question.get(..2)?.to_vec();
    // A response, recursion desired and available.
    out.extend_from_slice(&[0x81, 0x80 | code, 0, 1]);
    out.extend_from_slice(&u16::try_from(datas.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(question.get(12..end + 4)?);
    for data in datas {
        // The name of the question; the kind; class IN; 60 seconds.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}

/// The name in the question, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Txt(text), 16) => {
            let strings = text.as_bytes().chunks(255);
            Some(strings.flat_map(|string| [&[string.len() as u8][..], string].concat()).collect())
        }
        (Record::A(address), 1) => Some(address.octets().to_vec()),
        (Record::Mx(preference, host), 15) => {
            let labels = host
                .split('.')
                .filter(|label| !label.is_empty())
                .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
            Some(preference.to_be_bytes().into_iter().chain(labels).chain([0]).collect())
        }
        _ => None,
    }
}

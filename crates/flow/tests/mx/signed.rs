//! A name server whose answers are signed (RFC 4035), by one key for everything below the root; but for zones that are not signed at all.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{DnssecSigner, SigningKey, TrustAnchors};
use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, MX, NS, SOA, TLSA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType};

/// Records by name.
type Zone = HashMap<String, Vec<RData>>;

pub(crate) struct Signed {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Arc<TrustAnchors>,
    zone: Arc<Mutex<Zone>>,
    forged: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
}

/// Below it nothing is signed, and the parent says so.
const UNSIGNED: &str = "unsigned.example";
const TTL: u32 = 60;

impl Signed {
    pub(crate) fn serve() -> Signed {
        let pkcs8 = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&pkcs8).unwrap();
        let public = key.to_public_key().unwrap();
        let mut keys = TrustAnchors::empty();
        keys.insert(&public);
        let dnskey = DNSKEY::from_key(&public);
        let signer = DnssecSigner::new(dnskey.clone(), Box::new(key), Name::root(), Duration::from_secs(86_400));
        let zone = Arc::<Mutex<Zone>>::default();
        zone.lock().unwrap().insert(String::new(), vec![RData::DNSSEC(DNSSECRData::DNSKEY(dnskey))]);
        let server = Name::from_ascii(format!("ns.{UNSIGNED}.")).unwrap();
        zone.lock().unwrap().insert(UNSIGNED.to_owned(), vec![RData::NS(NS(server))]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let signed = Signed {
            address: socket.local_addr().unwrap(),
            keys: Arc::new(keys),
            zone: Arc::clone(&zone),
            forged: Arc::default(),
            ends: Arc::default(),
        };
        let (forged, ends) = (Arc::clone(&signed.forged), Arc::clone(&signed.ends));
        std::thread::spawn(move || {
            let mut question = [0; 4096];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let answer = answer(&question[..length], &zone.lock().unwrap(), &forged.lock().unwrap(), &signer);
                socket.send_to(&answer, from).unwrap();
            }
        });
        signed
    }

    fn add(&self, name: &str, data: RData) {
        self.zone.lock().unwrap().entry(name.to_owned()).or_default().push(data);
    }

    pub(crate) fn mx(&self, name: &str, preference: u16, host: &str) {
        self.add(name, RData::MX(MX::new(preference, Name::from_ascii(format!("{host}.")).unwrap())));
    }

    pub(crate) fn a(&self, name: &str, last: u8) {
        self.add(name, RData::A(A(Ipv4Addr::new(127, 0, 0, last))));
    }

    pub(crate) fn tlsa(&self, host: &str, port: u16, usage: u8, selector: u8, data: &[u8]) {
        let tlsa = TLSA::new(usage.into(), selector.into(), 0.into(), data.to_vec());
        self.add(&format!("_{port}._tcp.{host}"), RData::TLSA(tlsa));
    }

    /// From now on, answers about this name bear a signature that is not theirs.
    pub(crate) fn forge(&self, name: &str) {
        self.forged.lock().unwrap().push(name.to_owned());
    }
}

impl Drop for Signed {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn answer(question: &[u8], zone: &Zone, forged: &[String], signer: &DnssecSigner) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries.first().unwrap().clone();
    let key = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let is_unsigned = key == UNSIGNED && query.query_type() != RecordType::DS || key.ends_with(&format!(".{UNSIGNED}"));
    let mut out = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    out.metadata.recursion_desired = true;
    out.metadata.recursion_available = true;
    out.add_query(query.clone());
    let there = zone.get(&key).map(Vec::as_slice).unwrap_or_default();
    let found: Vec<RData> = there.iter().filter(|data| data.record_type() == query.query_type()).cloned().collect();
    let name = query.name().clone();
    if !found.is_empty() {
        let mut set = set(&name, found);
        if forged.contains(&key) {
            // The signature is of other records.
            let signature = sign(&self::set(&name, vec![RData::A(A(Ipv4Addr::LOCALHOST))]), signer);
            let mut signature = signature;
            if let RData::DNSSEC(DNSSECRData::RRSIG(old)) = &signature.data {
                let mut input = old.input().clone();
                input.type_covered = query.query_type();
                let octets = old.sig().to_vec();
                signature.data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, octets)));
            }
            set.insert_rrsig(signature);
        } else if !is_unsigned {
            let signature = sign(&set, signer);
            set.insert_rrsig(signature);
        }
        out.add_answers(set.records_with_rrsigs().cloned());
        return out.to_vec().unwrap();
    }
    let apex = if is_unsigned { Name::from_ascii(format!("{UNSIGNED}.")).unwrap() } else { Name::root() };
    let soa = SOA::new(apex.clone(), apex.clone(), 1, 1, 1, 1, TTL);
    let mut authority = vec![set(&apex, vec![RData::SOA(soa)])];
    if !is_unsigned {
        // RFC 4470: what is not there is denied name by name.
        let types: Vec<RecordType> = there.iter().map(RData::record_type).collect();
        let next = Name::from_labels([&b"\0"[..]]).unwrap().append_domain(&name).unwrap();
        authority.push(set(&name, vec![RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, types)))]));
        for set in &mut authority {
            let signature = sign(set, signer);
            set.insert_rrsig(signature);
        }
    }
    for set in &authority {
        set.records_with_rrsigs().for_each(|record| {
            out.add_authority(record.clone());
        });
    }
    out.to_vec().unwrap()
}

fn set(name: &Name, datas: Vec<RData>) -> RecordSet {
    let mut set = RecordSet::with_ttl(name.clone(), datas[0].record_type(), TTL);
    set.set_records(datas.into_iter().map(|data| Record::from_rdata(name.clone(), TTL, data)).collect());
    set
}

fn sign(set: &RecordSet, signer: &DnssecSigner) -> Record {
    let begin = time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
    let signature = RRSIG::from_rrset(set, DNSClass::IN, begin, signer).unwrap();
    Record::from_rdata(set.name().clone(), TTL, RData::DNSSEC(DNSSECRData::RRSIG(signature)))
}

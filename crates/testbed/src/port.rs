//! A port of loopback that is free, and stays reserved among all tests of one user for as long as the value lives: a server that is restarted
//! finds its port again.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Below the range from which the kernel takes ports for outgoing connections.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The lock is the reservation: the kernel takes it back from a test that died.
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn reserve() -> Port {
        let [port] = Port::reserve_row();
        port
    }

    /// Ports that follow each other.
    pub(crate) fn reserve_row<const LENGTH: usize>() -> [Port; LENGTH] {
        let user = rustix::process::geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("sealpost-ports-{user}"));
        fs::create_dir_all(&folder).expect("the directory of port reservations");
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
        let start = clock.wrapping_add(std::process::id().wrapping_mul(7919)) % u32::from(COUNT);
        for step in 0..u32::from(COUNT) {
            let first = u16::try_from((start + step) % u32::from(COUNT)).expect("less than COUNT") + FIRST;
            let row: Vec<Port> = (first..).take(LENGTH).map_while(|number| Port::take(&folder, number)).collect();
            if let Ok(row) = row.try_into() {
                return row;
            }
        }
        panic!("no free port on loopback");
    }

    fn take(folder: &Path, number: u16) -> Option<Port> {
        let lock = File::create(folder.join(number.to_string())).expect("a port reservation");
        let free = lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        free.then_some(Port { number, _lock: lock })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

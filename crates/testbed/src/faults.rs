//! A man in the middle that breaks IMAP on purpose. In: a server's address and faults as data. Out: another address, to which a client connects.

mod rule;
mod strip;

mod link;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use link::{Plan, join, locked};
use rule::Live;
pub use rule::{Action, Rule, Which};

/// Stands between until it is dropped; open connections go on until one side ends them.
pub struct Faults {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    ended: Arc<AtomicBool>,
}

impl Faults {
    /// The upstream may go and come back: each connection is made anew, and ends at once while there is no server.
    pub fn between(upstream: SocketAddr, rules: Vec<Rule>) -> Faults {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let plan = Arc::new(Mutex::new(Plan::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&plan), Arc::clone(&ended));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(upstream) {
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    join(client, server, Arc::clone(&shared));
                }
            }
        });
        let faults = Faults { address, plan, ended };
        faults.set(rules);
        faults
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The faults so far, in order: `APPEND 2: LoseAnswer` is the second APPEND that its rule met. Refusals for want of a stripped
    /// capability are none.
    pub fn fired(&self) -> Vec<String> {
        locked(&self.plan).fired.clone()
    }

    /// Other rules from now on; they count from the start.
    pub fn set(&self, rules: Vec<Rule>) {
        locked(&self.plan).rules = rules.into_iter().map(Live::new).collect();
    }

    /// No faults from now on. Capabilities stay stripped: that is what the server is.
    pub fn clear(&self) {
        locked(&self.plan).rules.retain(|rule| !rule.stripped().is_empty());
    }

    /// Everything goes through from now on, as if nobody were between.
    pub fn pass(&self) {
        self.set(Vec::new());
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

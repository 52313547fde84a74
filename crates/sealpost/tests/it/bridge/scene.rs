//! A Maildir, sealed, and the bridge over it as a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::client::Client;
use crate::program::Stage;

/// When the first message arrived, Unix seconds; each further one a day later.
pub const ARRIVED: u64 = 1_500_000_000;

pub struct Scene {
    pub stage: Stage,
}

pub struct Bridge {
    process: Child,
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
    /// What it said at first.
    pub told: String,
    /// What it said since.
    heard: Arc<Mutex<String>>,
}

impl Scene {
    /// An owner, and a flow that seals `Maildir`.
    pub fn new() -> Scene {
        let stage = Stage::with_owner();
        let text = format!(
            "[flow.all]\nsource = {{ maildir = {:?} }}\nseal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n\
             [bridge]\nmaildir = {:?}\nlisten = \"127.0.0.1:0\"\n",
            stage.path("Maildir"),
            stage.path("Maildir"),
        );
        stage.write("home/config.toml", text);
        for folder in ["Maildir", "Maildir/.Sent", "Maildir/.Trash"] {
            for place in ["cur", "new", "tmp"] {
                fs::create_dir_all(stage.path(folder).join(place)).unwrap();
            }
        }
        Scene { stage }
    }

    /// With these messages in INBOX, sealed.
    pub fn sealed(messages: &[Vec<u8>]) -> Scene {
        let scene = Scene::new();
        put(&scene.maildir(), messages);
        scene.sweep();
        scene
    }

    pub fn maildir(&self) -> PathBuf {
        self.stage.path("Maildir")
    }

    pub fn sweep(&self) {
        self.stage.good("sweep all", b"");
    }

    /// The bridge, with a new password.
    pub fn bridge(&self) -> Bridge {
        Bridge::start(&self.stage)
    }

    /// Every file of the stage that holds one of these texts.
    pub fn files_with(&self, texts: &[&[u8]]) -> Vec<PathBuf> {
        files_with(self.stage.path(""), texts)
    }
}

/// Every file below a folder that holds one of these texts.
pub fn files_with(folder: PathBuf, texts: &[&[u8]]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(octets) = fs::read(&path)
                && texts.iter().any(|text| crate::program::holds(&octets, text))
            {
                found.push(path);
            }
        }
    }
    found
}

impl Bridge {
    /// As the config of the stage says, with a new password.
    pub fn start(stage: &Stage) -> Bridge {
        let mut command = stage.command("bridge --new-password");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains(": password ") {
            assert!(lines.read_line(&mut told).unwrap() > 0, "it ended: {told}");
        }
        // Whatever else it says must not stop it.
        let heard = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                into.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let after = |what: &str| {
            let rest = &told[told.find(what).unwrap() + what.len()..];
            rest.split([' ', ',', '\n']).next().unwrap().to_owned()
        };
        Bridge {
            process,
            address: after("IMAP on ").parse().unwrap(),
            user: after("user "),
            password: after("password "),
            told,
            heard,
        }
    }

    /// Waits until it says so.
    pub fn hear(&self, text: &str) {
        while !self.heard.lock().unwrap().contains(text) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn client(&self) -> Client {
        Client::logged_in(self.address, &self.user, &self.password)
    }

    /// With a mailbox selected.
    pub fn selected(&self, mailbox: &str) -> Client {
        let mut client = self.client();
        client.good(&format!("SELECT {mailbox}"));
        client
    }

    /// As `kill -9` does it.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts messages into `cur/` of a Maildir, a day between each.
pub fn put(maildir: &Path, messages: &[Vec<u8>]) {
    for (number, octets) in messages.iter().enumerate() {
        let flags = ["", "S", "FS", "RS", "S"][number % 5];
        let path = maildir.join(format!("cur/{}.M{number:06}P1.host:2,{flags}", ARRIVED + number as u64));
        fs::write(&path, octets).unwrap();
        let arrived: SystemTime = UNIX_EPOCH + Duration::from_secs(ARRIVED + number as u64 * 86_400);
        fs::File::options().write(true).open(&path).unwrap().set_modified(arrived).unwrap();
    }
}

/// A simple message.
pub fn message(subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: Bob <bob@example.net>\r\nTo: alice@example.org\r\nSubject: {subject}\r\n\
         Date: Tue, 3 Mar 2026 19:42:07 +0100\r\nMessage-ID: <{}@example.net>\r\n\r\n{body}\r\n",
        subject.len()
    )
    .into_bytes()
}

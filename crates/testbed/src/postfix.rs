//! A Postfix on loopback, for one test. It never touches the machine's own Postfix: configuration, queue, ports and processes are its own. It takes
//! mail for example.test from anybody on this machine, and hands it to where it is told to.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::chown,
    path::PathBuf,
    process::Command,
};

use crate::{daemon::Daemon, directory::Directory, port::Port};

/// A running Postfix. Deferred mail is tried again after a second.
pub struct Postfix {
    // The daemon ends before its directory goes.
    daemon: Option<Daemon>,
    ports: [Port; 2],
    directory: Directory,
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its name in Postfix's log.
    pub id: String,
    /// Who has not got it, and why.
    pub waiting: Vec<(String, String)>,
}

impl Postfix {
    /// Hands mail to `transport` (`lmtp:inet:127.0.0.1:24`). `filter`: an after-queue filter (`content_filter`), which hands it back at
    /// [`reinject`](Postfix::reinject). Panics, saying why, when there is no Postfix or it does not start; only root can run it.
    pub fn start(transport: &str, filter: Option<SocketAddr>) -> Postfix {
        let mut server =
            Postfix { daemon: None, ports: [Port::reserve(), Port::reserve()], directory: Directory::create() };
        for name in ["etc", "queue", "data"] {
            server.directory.make(name);
        }
        let owner = number("/etc/passwd", "postfix");
        chown(server.directory.join("data"), Some(owner), None).expect("the directory given to postfix");
        server.directory.write("etc/main.cf", &server.main(transport));
        server.directory.write("etc/master.cf", &server.master(filter));
        server.restart();
        server
    }

    /// Where it takes mail.
    pub fn smtp(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it takes mail that comes back from a filter.
    pub fn reinject(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// What it has not handed on yet.
    pub fn queue(&self) -> Vec<Queued> {
        let listed = self.command("postqueue").arg("-j").output().expect("postqueue runs");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        text.lines()
            .map(|line| {
                // One JSON object a line; no value in it that is asked for here holds a quote.
                let value = |name: &str, from: &str| {
                    let at = from.find(&format!("\"{name}\": \""))?;
                    from.get(at + name.len() + 5..)?.split('"').next().map(str::to_owned)
                };
                let recipients = line.split("\"address\"").skip(1).map(|rest| format!("\"address\"{rest}"));
                let waiting = recipients.map(|one| {
                    (value("address", &one).unwrap_or_default(), value("delay_reason", &one).unwrap_or_default())
                });
                Queued { id: value("queue_id", line).unwrap_or_default(), waiting: waiting.collect() }
            })
            .collect()
    }

    /// Tries all of it again, now.
    pub fn flush(&self) {
        let _ = self.command("postqueue").arg("-f").status();
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("maillog")).unwrap_or_default()
    }

    /// Every file of it is below here.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_path_buf()
    }

    /// Adds lines to `main.cf`, and begins anew.
    pub fn configure(&mut self, more: &str) {
        let file = self.directory().join("etc/main.cf");
        let text = fs::read_to_string(&file).expect("Postfix's own configuration");
        self.directory.write("etc/main.cf", &format!("{text}\n{more}\n"));
        self.restart();
    }

    /// Ends every process of it at once.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Ends and starts again: same ports, same queue.
    pub fn restart(&mut self) {
        self.kill();
        let out = File::create(self.directory.join("out")).expect("a file for what the server prints");
        // Makes the queue's folders. `start-fg` would, too, but then leaves our process group, and outlives us.
        let _ = self.command("postfix").arg("check").output();
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.arg("-d").arg("-c").arg(self.directory.join("etc"));
        command.stdout(out.try_clone().expect("the same file")).stderr(out);
        let mut daemon = Daemon::spawn(&mut command).unwrap_or_else(|error| {
            panic!(
                "Postfix cannot be run ({error}; Debian: postfix; ./test installs it). \
                 SEALPOST_NO_SERVERS=1 leaves out the tests that need it."
            )
        });
        let printed = || fs::read_to_string(self.directory.join("out")).unwrap_or_default();
        assert!(daemon.greets(self.smtp()), "Postfix does not start:\n{}\n{}", printed(), self.log());
        self.daemon = Some(daemon);
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(format!("/usr/sbin/{name}"));
        command.arg("-c").arg(self.directory.join("etc"));
        command
    }

    fn main(&self, transport: &str) -> String {
        let directory = self.directory.path().display();
        let lines = [
            "compatibility_level = 3.6",
            "daemon_directory = /usr/lib/postfix/sbin",
            "command_directory = /usr/sbin",
            "meta_directory = /etc/postfix",
            "shlib_directory = /usr/lib/postfix",
            "mail_owner = postfix",
            "setgid_group = postdrop",
            "myhostname = mx.example.test",
            "mydomain = example.test",
            "mydestination =",
            "local_recipient_maps =",
            "local_transport = error:no local mail",
            "alias_maps =",
            "virtual_mailbox_domains = example.test",
            "virtual_mailbox_maps = static:ok",
            "inet_interfaces = 127.0.0.1",
            "inet_protocols = ipv4",
            "mynetworks = 127.0.0.0/8",
            "smtpd_relay_restrictions = permit_mynetworks, reject",
            "disable_dns_lookups = yes",
            // Nothing leaves this machine.
            "default_transport = error:5.4.4 there is no outside",
            "relay_transport = error:5.4.4 there is no outside",
            "message_size_limit = 100000000",
            "mailbox_size_limit = 0",
            "virtual_mailbox_limit = 0",
            "smtputf8_enable = yes",
            "smtpd_discard_ehlo_keywords =",
            "minimal_backoff_time = 1s",
            "maximal_backoff_time = 2s",
            "queue_run_delay = 1s",
            "transport_retry_time = 1s",
            "lmtp_send_xforward_command = yes",
            "smtp_send_xforward_command = yes",
            "lmtp_connect_timeout = 5s",
            "smtp_connect_timeout = 5s",
            "seal_destination_recipient_limit = 1",
        ];
        format!(
            "{}\nqueue_directory = {directory}/queue\ndata_directory = {directory}/data\n\
             maillog_file = {directory}/maillog\nmaillog_file_prefixes = {directory}\nvirtual_transport = {transport}\n",
            lines.join("\n")
        )
    }

    fn master(&self, filter: Option<SocketAddr>) -> String {
        let [smtp, reinject] = [self.smtp(), self.reinject()];
        let filter = filter.map(|filter| format!(" -o content_filter=seal:[{}]:{}", filter.ip(), filter.port()));
        format!(
            "{smtp} inet n - n - - smtpd{}\n\
             {reinject} inet n - n - - smtpd -o content_filter= -o smtpd_authorized_xforward_hosts=127.0.0.0/8 \
             -o receive_override_options=no_unknown_recipient_checks\n\
             pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 1 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
             trace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\n\
             proxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nseal unix - - n - 20 smtp\n\
             lmtp unix - - n - - lmtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
             discard unix - - n - - discard\nshowq unix n - n - - showq\nanvil unix - - n - 1 anvil\n\
             scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n",
            filter.unwrap_or_default()
        )
    }
}

/// The number of a user.
fn number(file: &str, name: &str) -> u32 {
    let text = fs::read_to_string(file).expect("a list of users");
    let line = text.lines().find(|line| line.starts_with(&format!("{name}:")));
    let number = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
    number.expect("Postfix is not installed (Debian: postfix; ./test installs it)")
}

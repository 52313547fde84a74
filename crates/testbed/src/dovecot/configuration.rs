//! The configuration of a Dovecot. In: what differs from server to server. Out: the file, in the syntax of 2.3 or in that of 2.4.

use std::path::Path;

/// How messages are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One file per message, flags in its name.
    #[default]
    Maildir,
    /// One file per message, flags in an index.
    Sdbox,
    /// Many messages per file; expunged ones stay in it until purged.
    Mdbox,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Maildir => "maildir",
            Format::Sdbox => "sdbox",
            Format::Mdbox => "mdbox",
        }
    }
}

/// The two syntaxes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V23,
    V24,
}

/// What a configuration is written from.
pub(crate) struct Settings<'a> {
    pub(crate) version: Version,
    pub(crate) format: Format,
    pub(crate) directory: &'a Path,
    /// Of IMAP, IMAP with TLS, LMTP.
    pub(crate) ports: [u16; 3],
    pub(crate) tls: bool,
    pub(crate) capabilities: Option<&'a str>,
    pub(crate) quota: Option<&'a str>,
    /// Name and group of the only user there is, when not run by root.
    pub(crate) unprivileged: Option<(&'a str, &'a str)>,
    pub(crate) extra: &'a str,
}

const SPECIAL: [&str; 5] = ["Drafts", "Sent", "Trash", "Archive", "Junk"];

impl Settings<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = match self.version {
            Version::V23 => self.head_23(),
            Version::V24 => self.head_24(),
        };
        text += &self.common();
        text += &self.services();
        if let Some((user, group)) = self.unprivileged {
            text += &format!("default_login_user = {user}\ndefault_internal_user = {user}\n");
            text += &format!("default_internal_group = {group}\n");
            for service in ["anvil", "imap-login", "lmtp"] {
                text += &format!("service {service} {{\n  chroot =\n}}\n");
            }
        }
        text + self.extra + "\n"
    }

    /// What both versions write alike.
    fn common(&self) -> String {
        let directory = self.directory.display();
        let mut text = format!(
            "base_dir = {directory}/run\nstate_dir = {directory}/state\ninstance_name = bed{}\nlisten = 127.0.0.1\n\
             log_path = {directory}/log\nfirst_valid_uid = 1\nmail_max_userip_connections = 500\nauth_failure_delay = 0\n\
             hostname = mail.example.test\npostmaster_address = postmaster@example.test\nssl = {}\n",
            self.ports[0],
            if self.tls { "yes" } else { "no" },
        );
        if let Some(words) = self.capabilities {
            text += &format!("imap_capability = {words}\n");
        }
        text += "namespace inbox {\n  inbox = yes\n  separator = /\n";
        for name in SPECIAL {
            text += &format!("  mailbox {name} {{\n    special_use = \\{name}\n    auto = create\n  }}\n");
        }
        text + "}\n"
    }

    fn services(&self) -> String {
        let [imap, imaps, lmtp] = self.ports;
        let imaps = if self.tls { imaps } else { 0 };
        format!(
            "service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = {imaps}\n\
             \x20   ssl = yes\n  }}\n}}\nservice lmtp {{\n  inet_listener lmtp {{\n    port = {lmtp}\n  }}\n}}\n\
             service stats {{\n  chroot =\n}}\n"
        )
    }

    fn head_23(&self) -> String {
        let directory = self.directory.display();
        let name = self.format.name();
        let location = if self.format == Format::Maildir { "Maildir" } else { name };
        let mut text = format!(
            "protocols = imap lmtp\ndisable_plaintext_auth = no\nauth_mechanisms = plain login\nauth_username_format = %Ln\n\
             mail_location = {name}:~/{location}\n\
             passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN {directory}/users\n}}\n\
             userdb {{\n  driver = passwd-file\n  args = {directory}/users\n}}\n"
        );
        if self.tls {
            text += &format!("ssl_cert = <{directory}/server.pem\nssl_key = <{directory}/server.key\n");
        }
        if let Some(size) = self.quota {
            text += "mail_plugins = quota\nprotocol imap {\n  mail_plugins = quota imap_quota\n}\n";
            text += &format!(
                "plugin {{\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage={size}\n"
            );
            text += "  quota_grace = 0\n}\n";
        }
        text
    }

    fn head_24(&self) -> String {
        let directory = self.directory.display();
        let name = self.format.name();
        let location = if self.format == Format::Maildir { "Maildir" } else { name };
        let mut text = format!(
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n\
             protocols {{\n  imap = yes\n  lmtp = yes\n}}\nauth_allow_cleartext = yes\n\
             auth_mechanisms {{\n  plain = yes\n  login = yes\n}}\nauth_username_format = %{{user | username | lower}}\n\
             mail_driver = {name}\nmail_path = ~/{location}\n\
             passdb passwd-file {{\n  passwd_file_path = {directory}/users\n}}\n\
             userdb passwd-file {{\n  passwd_file_path = {directory}/users\n}}\n"
        );
        if self.tls {
            let files = format!("  cert_file = {directory}/server.pem\n  key_file = {directory}/server.key\n");
            text += &format!("ssl_server {{\n{files}}}\n");
        }
        if let Some(size) = self.quota {
            text +=
                "mail_plugins {\n  quota = yes\n}\nprotocol imap {\n  mail_plugins {\n    imap_quota = yes\n  }\n}\n";
            text += &format!("quota \"User quota\" {{\n  quota_storage_size = {size}\n  quota_storage_grace = 0\n}}\n");
        }
        text
    }
}

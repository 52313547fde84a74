//! An account of the config, wired: whom to trust, how to log in. In: the config, its files. Out: an account that connects.
//! The secret is asked for anew at every connection, and not kept.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use store::imap::CredentialsError;
use wire::{Credentials, Timeouts, Trust};

use crate::{
    config::account::{Account, Password},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
    secret,
};

/// An account that connects. `stop` ends a command that is asked for the password.
pub fn account(home: &Home, config: &Account, stop: &Arc<AtomicBool>) -> Result<store::imap::Account, Failure> {
    let trust = trust(home, config.ca_file.as_deref(), config.pin)?;
    let (home, user, stop) = (home.clone(), config.user.clone(), Arc::clone(stop));
    let password = config.password.clone();
    Ok(store::imap::Account {
        endpoint: config.endpoint.clone(),
        trust,
        timeouts: Timeouts::default(),
        compress: config.compress,
        credentials: Box::new(move || credentials(&home, &user, &password, &stop).map_err(CredentialsError)),
    })
}

/// Whom to trust: the system's authorities, those of a file, or one certificate alone.
pub fn trust(home: &Home, ca_file: Option<&Path>, pin: Option<[u8; 32]>) -> Result<Trust, Failure> {
    let authorities = match ca_file {
        None => Vec::new(),
        Some(file) => {
            let file = home.at(file);
            let octets = std::fs::read(&file);
            octets
                .doing(Exit::Config, format_args!("cannot read the ca-file {}", file.display()))
                .map_err(|failure| failure.hint("name a PEM file; a relative path begins in the home"))?
        }
    };
    Ok(Trust { authorities, pin, ..Trust::default() })
}

/// A login that is asked for at every connection.
pub fn asked_anew(home: &Home, user: &str, password: &Password) -> wire::smtp::client::Login {
    let (home, user, password) = (home.clone(), user.to_owned(), password.clone());
    Arc::new(move || credentials(&home, &user, &password, &AtomicBool::new(false)))
}

fn credentials(home: &Home, user: &str, password: &Password, stop: &AtomicBool) -> Result<Credentials, String> {
    let user = user.to_owned();
    let secret = match password {
        Password::Command(command) => secret::from_command(command, home.root(), secret::TIME, stop),
        Password::File(file) => secret::from_file(&home.at(file)),
        Password::Env(name) => secret::from_environment(name),
        Password::TokenCommand(command) => {
            let token = secret::from_command(command, home.root(), secret::TIME, stop)?;
            return Ok(Credentials::Token { user, token });
        }
    };
    Ok(Credentials::Password { user, password: secret? })
}

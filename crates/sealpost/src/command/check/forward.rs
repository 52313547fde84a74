//! `check` of a flow of mail that is forwarded: keys, queue, the target. Nothing is listened to, and no mail is sent.

use std::sync::{Arc, atomic::AtomicBool};

use flow::forward::Sink;

use super::{Finding, Verdict, delivery::reach, good, wrong};
use crate::{
    command::forward,
    config::{Config, forward::Forward},
    deliveries::Sockets,
    forwards,
    home::Home,
};

/// Looks at everything it needs.
pub(super) fn check(
    home: &Home,
    config: &Config,
    name: &str,
    flow: &Forward,
    stop: &Arc<AtomicBool>,
    findings: &mut Vec<Finding>,
) {
    let what = format!("flow {name}");
    let settings = match forwards::settings(home, config, name, flow, &Sockets::none(), stop) {
        Ok(settings) => settings,
        Err(failure) => return findings.push(wrong(&what, failure)),
    };
    findings.push(good(&what, Some(format!("is to listen at {}", settings.listen.place))));
    let what = format!("flow {name}: queue");
    match forward::status(home, name, flow) {
        Ok(status) => findings.push(good(&what, Some(status.sentence()))),
        Err(failure) => findings.push(wrong(&what, failure)),
    }
    if settings.session.tls.is_none() {
        findings.push(Finding {
            what: format!("flow {name}: TLS"),
            verdict: Verdict::Warning,
            detail: Some("without `tls-certificate` and `tls-key`, mail comes in clear".to_owned()),
            hint: Some(
                "get one for this server's name (ACME), and name `tls-certificate` and `tls-key` in `source`"
                    .to_owned(),
            ),
        });
    }
    // An account is looked at with the others.
    if let Sink::Hop { hop, .. } = &settings.sink {
        let what = format!("flow {name}: target");
        let place = hop.place.to_string();
        match reach(hop.clone()) {
            Ok(()) => findings.push(good(&what, Some(place))),
            Err(failure) => findings.push(wrong(&what, failure)),
        }
    }
}

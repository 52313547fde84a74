//! `check` of a flow of mail that passes by: keys, policy, the next server. Nothing is listened to, and no mail is sent.

use flow::delivery::{OnFailure, Sink};

use super::{Finding, PATIENCE, Verdict, good, wrong};
use crate::{
    command::deliver,
    config::delivery::Delivery,
    deliveries::{self, Sockets},
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
};

/// Looks at everything it needs.
pub(super) fn check(home: &Home, name: &str, flow: &Delivery, findings: &mut Vec<Finding>) {
    let what = format!("flow {name}");
    let settings = match deliveries::settings(home, name, flow, &Sockets::none()) {
        Ok(settings) => settings,
        Err(failure) => return findings.push(wrong(&what, failure)),
    };
    findings.push(good(&what, Some(format!("is to listen at {}", settings.door.listen().place))));
    let what = format!("flow {name}: directory");
    match deliver::status(home, name, flow) {
        Ok(status) => match status.keys_lines() {
            lines if lines.is_empty() => findings.push(good(&what, None)),
            lines => findings.push(Finding {
                what,
                verdict: Verdict::Warning,
                detail: Some(lines.join("; ")),
                hint: Some("get new keys from their owners: `sealpost directory add ADDRESS FILE`".to_owned()),
            }),
        },
        Err(failure) => findings.push(wrong(&what, failure)),
    }
    if settings.policy.has(OnFailure::Pass) {
        findings.push(Finding {
            what: format!("flow {name}: policy"),
            verdict: Verdict::Warning,
            detail: Some("\"pass\" lets mail that cannot be sealed go on IN CLEAR".to_owned()),
            hint: Some("\"defer\" keeps it with its sender, \"hold\" keeps it sealed here".to_owned()),
        });
    }
    if let Sink::Hop(hop) = &settings.sink {
        let what = format!("flow {name}: next server");
        let place = hop.place.to_string();
        match reach(hop.clone()) {
            Ok(()) => findings.push(good(&what, Some(place))),
            Err(failure) => findings.push(wrong(&what, failure)),
        }
    }
}

pub(super) fn reach(mut hop: wire::smtp::client::NextHop) -> Result<(), Failure> {
    (hop.connect_time, hop.answer_time) = (hop.connect_time.min(PATIENCE), hop.answer_time.min(PATIENCE));
    let place = hop.place.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(Exit::Unavailable, "cannot begin")?;
    runtime.block_on(wire::smtp::client::Pool::new(hop).probe()).map_err(|error| {
        Failure::new(Exit::Unavailable, format_args!("{place}: {}", with_causes(&error)))
            .hint("is it running, and does it speak what `sink` says, LMTP or SMTP, with TLS at once or not (`tls`)?")
    })
}

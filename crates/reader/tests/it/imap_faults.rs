//! Whatever happens on the way to the server while mail is put back, before or after it obeyed: nothing is lost or doubled.

use std::sync::Arc;

use testbed::{Action, Faults, Rule, Which};

use crate::account::mails;
use crate::imap::{assert_back, begin, undo};
use crate::settings_of;

#[test]
fn every_command_may_fail_before_and_after_it_was_obeyed() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (server, account) = begin(home.path());
    let actions = [
        Action::Before,
        Action::CutLiteral(700),
        Action::CutAnswer(900),
        Action::LoseAnswer,
        Action::HalfAnswer,
        Action::Reset,
        Action::Bye,
    ];
    let commands = [("APPEND", 1), ("UID FETCH", 5), ("UID STORE", 4), ("UID EXPUNGE", 1), ("SELECT", 2)];
    let cases = commands.iter().flat_map(|(command, times)| (1..=*times).map(move |nth| (*command, nth)));
    let cases: Vec<_> =
        cases.flat_map(|(command, nth)| actions.iter().map(move |action| (command, nth, action))).collect();
    let all = mails(3 * cases.len());
    let (mut fired, mut there) = (0, Vec::new());
    for ((command, nth, action), some) in cases.into_iter().zip(all.chunks(3)) {
        let database = store::Database::open(&account.settings().state).unwrap();
        store::Ledger::on(&database).clear_stop("inbox").unwrap();
        account.put(some);
        there.extend_from_slice(some);
        account.sweep();
        let faults =
            Faults::between(server.imap(), vec![Rule { command, which: Which::Nth(nth), action: action.clone() }]);
        let undone = reader::undo(&settings_of(&account, faults.address()), &mut (), &Arc::default());
        fired += faults.fired().len();
        // By itself it goes on over a new connection.
        let undone = undone.unwrap_or_else(|error| panic!("{command} {nth} {action:?}: {error:?}"));
        assert_eq!(undone.unsettled, 0, "{command} {nth} {action:?}");
    }
    assert_eq!(undo(&account).restored, 0);
    assert_back(&account.census(), &there);
    assert!(fired >= 70, "{fired}");
}

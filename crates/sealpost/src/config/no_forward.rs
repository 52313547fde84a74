//! A flow of mail that is forwarded, in a build that cannot. In: what such a flow says. Out: an error that says which build can. A value of it there is
//! none.

use super::{
    Seal,
    delivery::{WrittenDoor, WrittenSink},
    whom::WrittenFor,
};

/// No such flow gets this far.
#[derive(Debug)]
pub enum Forward {}

/// Not read further.
pub type Queue = serde::de::IgnoredAny;

impl Forward {
    pub(super) fn new(
        _: WrittenFor,
        _: WrittenDoor,
        _: Seal,
        _: Option<WrittenSink>,
        _: Option<Queue>,
    ) -> Result<Forward, String> {
        Err("this flow forwards mail (`for`), which this build cannot: `cargo build --release -p sealpost --features \
             forward` makes one that can"
            .to_owned())
    }

    pub fn has_mailbox_in(&self, _: &str) -> bool {
        match *self {}
    }

    pub fn accounts(&self) -> [Option<&String>; 2] {
        match *self {}
    }
}

//! What a sealed copy is found again by.
//!
//! In: header fields. Out: the id in `Sealed-Mail` (format §4.3). Never says whether it is true.

use mail::HeaderSection;
use sealed::field::Mark;

/// The id in a `Sealed-Mail` field, whoever wrote it.
pub(crate) fn mark_of(header: &[u8]) -> Option<Vec<u8>> {
    let section = HeaderSection::parse(header);
    Mark::parse(&section).ok().map(|mark| mark.id.0.to_vec())
}

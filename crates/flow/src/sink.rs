//! Where sealed mail is put. Each sink knows nothing of any source.

pub(crate) mod in_place;

//! The secret half: a sealed message and an unlocked key in, the whole verified original out, or nothing.

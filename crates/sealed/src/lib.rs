//! The sealed message, parsed and written: all that the session key alone can do.

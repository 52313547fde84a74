//! The public half: a message and certificates in, a sealed message and its proof out.

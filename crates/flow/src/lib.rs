//! Source, seal, sink: mail moved and sealed, and only then settled.

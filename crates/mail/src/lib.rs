//! Nouns of mail: header fields, addresses, body parts, as views over octets.

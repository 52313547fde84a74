//! A mail program that is at work all the time: takes mail out of `new/`, sets flags.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Letters that it sets, one after another, never D or T.
const LETTERS: &[u8] = b"FPRSabc";

/// Renames messages below a Maildir until it is over; says how many times it did.
pub(crate) fn disturb(mail: &Path, over: &AtomicBool) -> u64 {
    let mut renamed = 0;
    let mut round = 0_usize;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        for folder in ["", ".Archive.2024", ".Sent", "nested/deep"] {
            for part in ["new", "cur"] {
                let Ok(entries) = fs::read_dir(mail.join(folder).join(part)) else {
                    continue;
                };
                for (number, entry) in entries.flatten().enumerate() {
                    if !(number + round).is_multiple_of(5) {
                        continue;
                    }
                    let name = entry.file_name().into_string().unwrap();
                    let (unique, flags) = name.split_once(":2,").unwrap_or((&name, ""));
                    let letters = flags.bytes().take_while(u8::is_ascii_alphabetic).collect::<Vec<u8>>();
                    let mut set = [&letters[..], &[LETTERS[(number + round) % LETTERS.len()]]].concat();
                    set.sort_unstable();
                    set.dedup();
                    let rest = &flags[letters.len()..];
                    let to = format!("{unique}:2,{}{rest}", String::from_utf8(set).unwrap());
                    let to = mail.join(folder).join("cur").join(to);
                    // `rename` would overwrite; a mail program has only one file under one name.
                    if !to.exists() && fs::rename(entry.path(), to).is_ok() {
                        renamed += 1;
                    }
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    renamed
}

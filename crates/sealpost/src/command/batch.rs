//! Every file of a folder to a file of the same name in another, all in one process and on all cores. A file that fails is
//! named, the rest goes on, and the exit code tells. An output appears under its name only when it is whole.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    failure::{DoingWhat, Exit, Failure},
    progress::Bar,
    tell::tell,
};

/// Does one file.
type One<'a> = &'a (dyn Fn(File, &mut File) -> Result<(), Failure> + Sync);

/// Runs `one` for every file of `from`.
pub fn run(what: &'static str, from: &Path, to: &Path, one: One<'_>) -> Result<(), Failure> {
    let files = files(from)?;
    fs::create_dir_all(to).doing(Exit::Usage, format_args!("cannot make {}", to.display()))?;
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(from) == same(to) {
        return Err(
            Failure::new(Exit::Usage, "the two folders are the same").hint("name another folder for the results")
        );
    }
    let bar = Bar::new(what, files.len() as u64);
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<(PathBuf, Failure)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = through(file, to, one) {
                bar.line(&format!("sealpost: error: {}: {}", file.display(), failure.error));
                if let Ok(mut failures) = failures.lock() {
                    failures.push((file.clone(), failure));
                }
            }
            bar.one();
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 1..cores {
            scope.spawn(work);
        }
        work();
    });
    bar.finish();
    let failures = failures.into_inner().unwrap_or_default();
    tell(format_args!("sealpost: {what}: {} done, {} failed", files.len() - failures.len(), failures.len()));
    let worst = failures.iter().map(|(_, failure)| failure.exit).max();
    match worst {
        None => Ok(()),
        Some(exit) => Err(Failure::new(exit, format_args!("{} of {} files failed", failures.len(), files.len()))
            .hint("each is named above; the others are done")),
    }
}

fn files(from: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = || format!("cannot read {}", from.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(from).doing(Exit::Usage, cannot())? {
        let entry = entry.doing(Exit::Temporary, cannot())?;
        // A link counts as what it leads to; one that leads nowhere fails by its name instead of being passed over.
        if fs::metadata(entry.path()).map_or(true, |metadata| metadata.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn through(file: &Path, to: &Path, one: One<'_>) -> Result<(), Failure> {
    let name = file.file_name().ok_or_else(|| Failure::new(Exit::Usage, "no file name"))?;
    let input = File::open(file).doing(Exit::Temporary, "cannot read it")?;
    let mut output = tempfile::NamedTempFile::new_in(to).doing(Exit::Temporary, "cannot write beside the results")?;
    one(input, output.as_file_mut())?;
    output.persist(to.join(name)).doing(Exit::Temporary, "cannot name the result")?;
    Ok(())
}

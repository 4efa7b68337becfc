//! The files of a run: all of them or none.
//!
//! Each is written under a temporary name in the folder where it belongs, and renamed when all are there and
//! have been checked. Whatever ends the run before that leaves neither a file nor a folder that was not there
//! before; only the power switch could leave a hidden temporary one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

fn is_a_folder(name: &Path) -> String {
    format!("{}: is a folder, expected a file or nothing", name.display())
}

/// A folder that files are about to be put in.
pub(crate) struct Output {
    folder: PathBuf,
    /// The folders that had to be made, the innermost first.
    made: Vec<PathBuf>,
    /// Temporary name and name.
    staged: Vec<(PathBuf, PathBuf)>,
    done: bool,
}

impl Output {
    /// Makes the folder and tries whether a file can be written there, and whether these names are free for
    /// files, so that a run does not find out at its end.
    ///
    /// # Errors
    /// Why it cannot be, in one line.
    pub(crate) fn open(folder: &Path, names: &[&str]) -> Result<Self, String> {
        if folder.exists() && !folder.is_dir() {
            return Err(format!("{}: is a file, expected a folder", folder.display()));
        }
        if let Some(name) = names.iter().map(|name| folder.join(name)).find(|name| name.is_dir()) {
            return Err(is_a_folder(&name));
        }
        let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let made = missing.map(Path::to_owned).collect();
        let mut output = Output { folder: folder.to_owned(), made, staged: Vec::new(), done: false };
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        output.stage("probe", b"")?;
        output.discard();
        Ok(output)
    }

    /// Writes a file under a temporary name, and returns that.
    ///
    /// # Errors
    /// Why it cannot be written, in one line.
    pub(crate) fn stage(&mut self, name: &str, bytes: &[u8]) -> Result<&Path, String> {
        let temporary = self.folder.join(format!(".{name}.{}.tmp", std::process::id()));
        self.staged.push((temporary, self.folder.join(name)));
        let temporary = &self.staged[self.staged.len() - 1].0;
        let write = || -> std::io::Result<()> {
            let mut file = File::create(temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| format!("{}: {error}", temporary.display()))?;
        Ok(temporary)
    }

    /// Gives all files their names, and returns those.
    ///
    /// # Errors
    /// Why that cannot be, in one line.
    pub(crate) fn commit(mut self) -> Result<Vec<PathBuf>, String> {
        if let Some((_, name)) = self.staged.iter().find(|(_, name)| name.is_dir()) {
            return Err(is_a_folder(name));
        }
        for (temporary, name) in &self.staged {
            fs::rename(temporary, name).map_err(|error| format!("{}: {error}", name.display()))?;
        }
        self.done = true;
        Ok(self.staged.iter().map(|(_, name)| name.clone()).collect())
    }

    fn discard(&mut self) {
        for (temporary, _) in self.staged.drain(..) {
            // Nothing can be done about a file that does not go away.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.done {
            self.discard();
            for folder in &self.made {
                // Fails, as it should, where somebody else has put something in.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test alone.
    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("fit-output-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        place
    }

    #[test]
    fn all_files_appear_together() {
        let place = place("all");
        let mut output = Output::open(&place.join("a/b"), &[]).unwrap();
        assert_eq!(fs::read(output.stage("one", b"1").unwrap()).unwrap(), b"1");
        output.stage("two", b"2").unwrap();
        assert!(!place.join("a/b/one").exists());
        let names = output.commit().unwrap();
        assert_eq!(names, [place.join("a/b/one"), place.join("a/b/two")]);
        assert_eq!(fs::read_dir(place.join("a/b")).unwrap().count(), 2);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn nothing_stays_of_a_run_that_failed() {
        let place = place("none");
        let mut output = Output::open(&place.join("a/b"), &[]).unwrap();
        output.stage("one", b"1").unwrap();
        drop(output);
        assert!(!place.exists());

        // What was there before stays as it was.
        fs::create_dir_all(place.join("two")).unwrap();
        fs::write(place.join("one"), "before").unwrap();
        assert!(Output::open(&place, &["one", "two"]).err().unwrap().contains("is a folder"));
        let mut output = Output::open(&place, &[]).unwrap();
        output.stage("one", b"after").unwrap();
        output.stage("two", b"2").unwrap();
        assert!(output.commit().unwrap_err().contains("is a folder"));
        assert_eq!(fs::read(place.join("one")).unwrap(), b"before");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_is_refused() {
        let place = place("file");
        fs::write(&place, "a file").unwrap();
        let Err(error) = Output::open(&place.join("below"), &[]) else { panic!("a folder below a file") };
        assert!(!error.contains('\n'), "{error}");
        fs::remove_file(place).unwrap();
    }
}

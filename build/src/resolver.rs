//! How `.proto` files are found and read.

use std::fs;
use std::path::{Path, PathBuf};

use protox::Error;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

/// The files of these folders, the first before the next, and those of protobuf itself.
pub(crate) fn in_folders(folders: &[PathBuf]) -> impl FileResolver + 'static {
    let mut chain = ChainFileResolver::new();
    for path in folders {
        let files = IncludeFileResolver::new(path.clone());
        chain.add(Folder { path: path.clone(), files });
    }
    chain.add(GoogleFileResolver::new());
    chain
}

/// A text without the byte order mark that some editors put before it, and that protoc skips.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A folder whose files may begin with a byte order mark.
struct Folder {
    path: PathBuf,
    files: IncludeFileResolver,
}

impl FileResolver for Folder {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.files.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, Error> {
        self.files.open_file(name).or_else(|error| {
            // To protox the mark is a token, and a wrong one.
            let text = fs::read_to_string(self.path.join(name)).unwrap_or_default();
            let rest = without_mark(&text);
            if rest.len() < text.len() { File::from_source(name, rest) } else { Err(error) }
        })
    }
}

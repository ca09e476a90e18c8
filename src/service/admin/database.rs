//! Copies and checks of what is stored.

use std::path::PathBuf;

use super::Admin;
use super::error::AdminError;
use super::spec::{BackupRequest, BackupView, VerifyView};
use crate::service::catalogue::blocking;

impl Admin {
    /// Copies the databases into a directory of the daemon's machine, while the work goes on.
    ///
    /// # Errors
    /// The directory is not an absolute path, holds a copy already, or cannot be written.
    pub async fn backup(&self, request: BackupRequest) -> Result<BackupView, AdminError> {
        let directory = PathBuf::from(&request.directory);
        // The daemon's own directory is not the one that the operator stands in.
        if !directory.is_absolute() {
            return Err(AdminError::fault("directory", "must be an absolute path on the daemon's machine"));
        }
        let upkeep = self.upkeep.clone();
        blocking(move || {
            upkeep.backup(&directory, &mut |_| {}).map_err(|error| AdminError::Refused(error.to_string()))?;
            let files = std::fs::read_dir(&directory).map_err(|error| AdminError::Failed(error.to_string()))?;
            let mut files: Vec<String> =
                files.flatten().map(|file| file.path().to_string_lossy().into_owned()).collect();
            files.sort();
            Ok(BackupView { files })
        })
        .await
    }

    /// Checks all that is stored against itself.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub async fn verify(&self) -> Result<VerifyView, AdminError> {
        let upkeep = self.upkeep.clone();
        blocking(move || {
            let verified = upkeep.verify(&mut |_| {}).map_err(|error| AdminError::Failed(error.to_string()))?;
            let shown = u64::try_from(verified.faults.len()).unwrap_or(u64::MAX);
            let more = verified.faults_count.saturating_sub(shown);
            let ok = verified.is_sound();
            let mut violations = verified.faults;
            violations.extend((more > 0).then(|| format!("and {more} more")));
            Ok(VerifyView { ok, checked: verified.checked, violations })
        })
        .await
    }
}

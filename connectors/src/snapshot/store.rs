//! Where snapshots are: an object store, a directory by default.

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path};
use tokio::runtime::Runtime;

/// The store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("snapshots at {location}: cannot {action}: {error}")]
pub struct StoreError {
    location: Arc<str>,
    action: String,
    #[source]
    error: object_store::Error,
}

impl StoreError {
    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self.error, object_store::Error::NotFound { .. })
    }
}

/// Named objects, each written whole or not at all. Calls block.
#[derive(Clone)]
pub struct Store {
    location: Arc<str>,
    objects: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
}

impl Store {
    /// A directory, which is made unless it exists. What was written survives the loss of power.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(path: &Path) -> Result<Store, StoreError> {
        let location: Arc<str> = path.display().to_string().into();
        let failed = |error: object_store::Error| StoreError {
            location: location.clone(),
            action: "open the directory".into(),
            error,
        };
        let generic = |error: std::io::Error| {
            failed(object_store::Error::Generic { store: "directory", source: error.into() })
        };
        std::fs::create_dir_all(path).map_err(generic)?;
        let objects = LocalFileSystem::new_with_prefix(path).map_err(failed)?.with_fsync(true);
        Store::of(location.clone(), Arc::new(objects)).map_err(generic)
    }

    /// Any other store that speaks the same language.
    ///
    /// # Errors
    /// No thread for its requests can be had.
    pub fn of(location: Arc<str>, objects: Arc<dyn ObjectStore>) -> std::io::Result<Store> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("snapshots")
            .enable_all()
            .build()?;
        Ok(Store { location, objects, runtime: Arc::new(runtime) })
    }

    /// Where it is, for people.
    pub fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn put(&self, name: &str, payload: PutPayload) -> Result<(), StoreError> {
        let path = path::Path::from(name);
        let put = self.runtime.block_on(self.objects.put(&path, payload));
        put.map(drop).map_err(self.failed(|| format!("write {name}")))
    }

    pub(super) fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = path::Path::from(name);
        let get = async { self.objects.get(&path).await?.bytes().await };
        let bytes = self.runtime.block_on(get);
        bytes.map(Vec::from).map_err(self.failed(|| format!("read {name}")))
    }

    /// The names of all objects, sorted.
    pub(super) fn list(&self) -> Result<Vec<String>, StoreError> {
        let list = self.runtime.block_on(self.objects.list_with_delimiter(None));
        let list = list.map_err(self.failed(|| "list what there is".into()))?;
        let mut names: Vec<String> =
            list.objects.into_iter().map(|object| object.location.to_string()).collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), StoreError> {
        let deleted = self.runtime.block_on(self.objects.delete(&path::Path::from(name)));
        deleted.map_err(self.failed(|| format!("delete {name}")))
    }

    fn failed<'s>(
        &'s self,
        action: impl FnOnce() -> String + 's,
    ) -> impl FnOnce(object_store::Error) -> StoreError + 's {
        |error| StoreError { location: self.location.clone(), action: action(), error }
    }
}

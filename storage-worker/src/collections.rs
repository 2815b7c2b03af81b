//! Which collection a name stands for just now. What was found is trusted for a moment; what was not found is
//! looked up again every time.

use crate::{
    decide::Collection,
    patience::patiently,
    store::{Store, StoreError, View},
};
use messages::{CollectionName, Consistency, collection::SETTINGS_LIFETIME};
use moka::future::Cache;
use std::{sync::Arc, time::Instant};

/// Finds collections by name.
#[derive(Clone)]
pub struct Collections {
    store: Arc<dyn Store>,
    system: Arc<Collection>,
    users: Arc<Collection>,
    dead_letters: Arc<Collection>,
    /// With the time at which it was asked for.
    found: Cache<CollectionName, Found>,
}

#[derive(Clone)]
struct Found {
    collection: Arc<Collection>,
    asked: Instant,
    consistency: Consistency,
}

/// Why a collection was not found.
enum Miss {
    Absent(Consistency),
    Failed(StoreError),
}

impl Collections {
    /// All collections that `store` keeps.
    pub fn of(store: Arc<dyn Store>) -> Self {
        let found = Cache::builder().max_capacity(10_000).time_to_live(SETTINGS_LIFETIME).build();
        Self {
            store,
            system: Collection::collections().into(),
            users: Collection::users().into(),
            dead_letters: Collection::dead_letters().into(),
            found,
        }
    }

    /// The system collection of settings.
    pub fn system(&self) -> &Arc<Collection> {
        &self.system
    }

    /// The collection of this name, as it is or was at most [`SETTINGS_LIFETIME`] ago; `None` if there is none. And how
    /// many copies were asked.
    pub async fn find(
        &self,
        name: &CollectionName,
    ) -> Result<(Option<Arc<Collection>>, Consistency), StoreError> {
        let of_the_service = [&self.system, &self.users, &self.dead_letters];
        if let Some(collection) = of_the_service.into_iter().find(|collection| collection.name == *name) {
            return Ok((Some(Arc::clone(collection)), Consistency::Quorum));
        }
        if let Some(Found { asked, .. }) = self.found.get(name).await
            && asked.elapsed() >= SETTINGS_LIFETIME
        {
            self.found.invalidate(name).await;
        }
        match self.found.try_get_with_by_ref(name, self.look_up(name)).await {
            Ok(found) => Ok((Some(found.collection), found.consistency)),
            Err(miss) => match &*miss {
                Miss::Absent(consistency) => Ok((None, *consistency)),
                Miss::Failed(error) => Err(StoreError::Unavailable(error.to_string())),
            },
        }
    }

    async fn look_up(&self, name: &CollectionName) -> Result<Found, Miss> {
        let asked = Instant::now();
        let id = name.record_id();
        let bucket = self.system.bucket_of(&id);
        let rows =
            patiently(|| self.store.load(bucket, std::slice::from_ref(&id), &[], View::Available)).await;
        let rows = rows.map_err(Miss::Failed)?;
        let consistency = rows.consistency;
        let found = rows.records.first().and_then(Collection::described_by);
        let collection = found.ok_or(Miss::Absent(consistency))?;
        Ok(Found { collection: Arc::new(collection), asked, consistency })
    }
}

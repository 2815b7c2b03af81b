//! What the records of accounts say of their sessions. What was read is trusted for a moment, but only to let somebody
//! in: before anybody is refused, the record is read again.

use crate::{
    decide::{
        Collection,
        revocation::{self, Account, Known},
    },
    patience::patiently,
    store::{Store, StoreError, View},
};
use futures_util::future::try_join_all;
use messages::{Principal, Rejection, UserName, sessions::ACCOUNT_LIFETIME};
use moka::future::Cache;
use std::{collections::HashSet, sync::Arc, time::Instant};

/// Finds accounts by name. Clones share what they found.
#[derive(Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    users: Arc<Collection>,
    /// With the time at which it was asked for.
    found: Cache<UserName, (Option<Arc<Account>>, Instant)>,
}

impl Accounts {
    /// All accounts that `store` keeps.
    pub fn of(store: Arc<dyn Store>) -> Self {
        let found = Cache::builder().max_capacity(10_000).time_to_live(ACCOUNT_LIFETIME).build();
        Self { store, users: Collection::users().into(), found }
    }

    /// Refuses a principal whose session ended more than [`ACCOUNT_LIFETIME`] ago.
    pub async fn judge(&self, principal: &Principal) -> Result<Result<(), Rejection>, StoreError> {
        let known = self.known_to(&[principal]).await?;
        Ok(revocation::check(principal, &known))
    }

    /// The accounts of these principals, as they are or were at most [`ACCOUNT_LIFETIME`] ago.
    pub async fn known_to(&self, principals: &[&Principal]) -> Result<Known, StoreError> {
        let (mut known, mut fresh) = (Known::new(), HashSet::new());
        // All at once; below they are at hand.
        let users = principals.iter().filter_map(|principal| match principal {
            Principal::User(user) => user.session.is_some().then_some(&user.name),
            Principal::Service => None,
        });
        try_join_all(users.collect::<HashSet<_>>().into_iter().map(|name| self.find(name))).await?;
        for principal in principals {
            let Principal::User(user) = principal else { continue };
            if user.session.is_none() {
                continue;
            }
            if !known.contains_key(&user.name) && !fresh.contains(&user.name) {
                known.extend(self.find(&user.name).await?.map(|account| (user.name.clone(), account)));
            }
            // Its session may be younger than what was found.
            if revocation::check(principal, &known).is_err() && fresh.insert(user.name.clone()) {
                known.remove(&user.name);
                known.extend(self.read(&user.name).await?.map(|account| (user.name.clone(), account)));
            }
        }
        Ok(known)
    }

    async fn find(&self, name: &UserName) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some((_, asked)) = self.found.get(name).await
            && asked.elapsed() >= ACCOUNT_LIFETIME
        {
            self.found.invalidate(name).await;
        }
        let look_up = async {
            let asked = Instant::now();
            Ok::<_, StoreError>((self.load(name).await?, asked))
        };
        match self.found.try_get_with_by_ref(name, look_up).await {
            Ok((account, _)) => Ok(account),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    async fn read(&self, name: &UserName) -> Result<Option<Arc<Account>>, StoreError> {
        let asked = Instant::now();
        let account = self.load(name).await?;
        self.found.insert(name.clone(), (account.clone(), asked)).await;
        Ok(account)
    }

    async fn load(&self, name: &UserName) -> Result<Option<Arc<Account>>, StoreError> {
        let id = name.record_id();
        let bucket = self.users.bucket_of(&id);
        let rows =
            patiently(|| self.store.load(bucket, std::slice::from_ref(&id), &[], View::Available)).await?;
        Ok(rows.records.first().and_then(Account::described_by).map(Arc::new))
    }
}

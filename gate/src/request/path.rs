//! Names in paths.

use crate::error::{ApiError, RequestError};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use messages::{CollectionName, RecordId, Rejection};
use std::{collections::HashMap, str::FromStr};

/// `{collection}`: one of the clients' own. The service's, which begin with `_`, are not found.
pub(crate) struct InCollection(pub(crate) CollectionName);

/// `{collection}` and `{id}`.
pub(crate) struct OfRecord {
    pub(crate) collection: CollectionName,
    pub(crate) record: RecordId,
}

/// The one name in a path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync> FromRequestParts<S> for InCollection {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let names = names(parts, state).await?;
        let collection: CollectionName = parse(&names, "collection")?;
        if collection.is_system() {
            return Err(Rejection::CollectionNotFound { collection }.into());
        }
        Ok(Self(collection))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfRecord {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let InCollection(collection) = InCollection::from_request_parts(parts, state).await?;
        let record = parse(&names(parts, state).await?, "id")?;
        Ok(Self { collection, record })
    }
}

impl<S: Send + Sync, T> FromRequestParts<S> for Named<T>
where
    T: FromStr,
    ApiError: From<T::Err>,
{
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let names = names(parts, state).await?;
        Ok(Self(names.values().next().map(String::as_str).unwrap_or_default().parse()?))
    }
}

type Names = HashMap<String, String>;

/// The parameters of the matched route. What is no UTF-8 is no name either.
async fn names<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Names, ApiError> {
    match Path::<Names>::from_request_parts(parts, state).await {
        Ok(Path(names)) => Ok(names),
        Err(_) => Err(RequestError::UnknownPath.into()),
    }
}

fn parse<T: FromStr>(names: &Names, name: &str) -> Result<T, ApiError>
where
    ApiError: From<T::Err>,
{
    Ok(names.get(name).map(String::as_str).unwrap_or_default().parse()?)
}

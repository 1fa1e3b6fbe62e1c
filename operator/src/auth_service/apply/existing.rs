//! Repairs an object that is not needed any more, if it still exists: a completed migration Job.
//!
//! Without its label it is not in the cache and looks deleted. The API server is asked once, so that a Job that was
//! deleted causes no further request.

use std::sync::Arc;

use kube::core::DynamicObject;

use super::work::Work;
use crate::auth_service::render::Rendered;

impl Work<'_> {
    /// Applies the rendered object if one of that name exists.
    pub(super) async fn repair_existing(
        &mut self,
        rendered: Rendered,
    ) -> Result<Option<Arc<DynamicObject>>, kube::Error> {
        let uid = self.service.owner.uid.clone();
        if self.context.cache.get(rendered.kind, &self.service.namespace, &rendered.name).is_some() {
            return self.apply_rendered(rendered).await;
        }
        let is_known = |looked_for: &Option<Box<str>>| looked_for.as_deref() == Some(&*rendered.name);
        if self.context.with_memory(&uid, |memory| is_known(&memory.looked_for)) {
            return Ok(None);
        }
        let name: Box<str> = rendered.name.as_str().into();
        let found = match self.api(rendered.kind).get_opt(&name).await? {
            Some(_) => self.apply_rendered(rendered).await?,
            None => None,
        };
        self.context.with_memory(&uid, |memory| memory.looked_for = Some(name));
        Ok(found)
    }
}

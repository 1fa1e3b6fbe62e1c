//! A request to the API server, as its path and query say.

use hyper::Method;

/// One request of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    pub verb: Verb,
    /// The resource, with its subresource: `deployments`, `authservices/status`.
    pub resource: String,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Call {
    /// Reads the path: `/api/v1/…`, `/apis/GROUP/VERSION/…`, below it `namespaces/NAMESPACE/` or not.
    pub fn of(method: &Method, path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = if parts.first() == Some(&"api") { parts.get(2..) } else { parts.get(3..) };
        let rest = match rest.unwrap_or_default() {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let resource = match rest {
            [resource, _, subresource] => format!("{resource}/{subresource}"),
            [resource, ..] => (*resource).to_owned(),
            [] => String::new(),
        };
        let name = rest.get(1).copied().unwrap_or_default().to_owned();
        let verb = match *method {
            Method::GET if query.split('&').any(|part| part == "watch=true") => Verb::Watch,
            Method::GET if name.is_empty() => Verb::List,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => Verb::Get,
        };
        Self { verb, resource, name }
    }

    /// Whether it may change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
    }

    /// Whether it belongs to the leader election.
    pub fn is_of_election(&self) -> bool {
        self.resource == "leases"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_from_its_path() {
        let call = |method, path, query| {
            let call = Call::of(&method, path, query);
            (call.verb, call.resource, call.name)
        };
        let of = |verb, resource: &str, name: &str| (verb, resource.to_owned(), name.to_owned());
        assert_eq!(
            call(Method::GET, "/api/v1/namespaces/a/secrets", "limit=1&watch=true"),
            of(Verb::Watch, "secrets", "")
        );
        assert_eq!(
            call(Method::PATCH, "/apis/latchkey.dev/v1alpha1/namespaces/a/authservices/b/status", ""),
            of(Verb::Patch, "authservices/status", "b")
        );
        assert_eq!(
            call(Method::GET, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ""),
            of(Verb::List, "customresourcedefinitions", "")
        );
        assert_eq!(call(Method::POST, "/api/v1/namespaces/a/pods", ""), of(Verb::Create, "pods", ""));
        assert_eq!(call(Method::GET, "/api/v1/namespaces/a", ""), of(Verb::Get, "namespaces", "a"));
    }
}

//! The committed YAML is what the types say.

#[test]
fn the_committed_definition_is_what_the_types_generate() {
    // Cargo runs tests in the folder of their package.
    let committed = std::fs::read_to_string("auth_service.yaml").unwrap();
    assert_eq!(
        committed,
        latchkey_crds::auth_service_yaml().unwrap(),
        "crds/auth_service.yaml is stale: cargo run -p latchkey-crds --bin crdgen > crds/auth_service.yaml"
    );
}

#[test]
fn no_number_has_an_unsigned_format_which_the_api_server_refuses() {
    let yaml = latchkey_crds::auth_service_yaml().unwrap();
    assert!(!yaml.contains("format: uint"), "use i32 or i64 with a minimum");
}

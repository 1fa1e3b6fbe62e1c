//! The committed YAML is what the types say.

#[test]
fn the_committed_definitions_are_what_the_types_generate() {
    let generated = [
        ("auth_service.yaml", latchkey_crds::auth_service_yaml().unwrap()),
        ("auth_client.yaml", latchkey_crds::auth_client_yaml().unwrap()),
    ];
    for (file, generated) in generated {
        // Cargo runs tests in the folder of their package.
        let committed = std::fs::read_to_string(file).unwrap();
        assert_eq!(committed, generated, "crds/{file} is stale: make generate");
    }
}

#[test]
fn no_number_has_an_unsigned_format_which_the_api_server_refuses() {
    for yaml in [latchkey_crds::auth_service_yaml().unwrap(), latchkey_crds::auth_client_yaml().unwrap()] {
        assert!(!yaml.contains("format: uint"), "use i32 or i64 with a minimum");
    }
}

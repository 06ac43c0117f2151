use super::*;

/// An API as a publisher would write it, OpenAPI 3.0 in YAML.
const ANTRAG_30: &str = r##"
openapi: 3.0.3
info: {title: Führungszeugnis, version: 1.0.0}
servers:
- url: https://dienst.example/v1
security:
- fitConnect: [antrag]
paths:
  /antraege:
    get:
      parameters:
      - {name: seite, in: query, schema: {type: integer, minimum: 0, maximum: 1000}}
      - {name: stand, in: query, schema: {type: string, enum: [neu, erledigt]}}
      responses:
        200:
          description: Liste
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Antrag'}}
        404: {description: fehlt}
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Antrag'}
          application/xml:
            schema: {$ref: '#/components/schemas/Antrag'}
      responses:
        201:
          description: angelegt
          headers:
            Location: {required: true, schema: {type: string, format: uri}}
        default:
          $ref: '#/components/responses/Fehler'
  /antraege/{id}:
    parameters:
    - {name: id, in: path, required: true, schema: {type: string, maxLength: 36}}
    delete:
      responses:
        204: {description: zurückgenommen}
    get:
      responses:
        200:
          description: Antrag
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Antrag'}
components:
  securitySchemes:
    fitConnect: {type: oauth2, flows: {}}
    offen: {type: apiKey, in: header, name: X-Schluessel}
  responses:
    Fehler:
      description: Fehler
      content:
        application/problem+json:
          schema: {type: object, properties: {title: {type: string}}, required: [title]}
  schemas:
    Antrag:
      type: object
      required: [zweck, person, nummer]
      properties:
        nummer: {type: string, readOnly: true}
        zweck: {type: string, enum: [privat, behoerde]}
        person: {$ref: '#/components/schemas/Person'}
        bemerkung: {type: string, nullable: true, maxLength: 500}
    Person:
      type: object
      required: [name]
      properties:
        name: {type: string, minLength: 1}
        geburtsdatum: {type: string, format: date}
        vertreter: {$ref: '#/components/schemas/Person'}
"##;

/// Edits that are made to a text, each must hit.
fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not there");
        text.replacen(from, to, 1)
    })
}

#[track_caller]
fn check_edits(edits: &[(&str, &str)], expect: &[&str]) {
    check(&compare_files("openapi", ANTRAG_30, &edited(ANTRAG_30, edits)), expect);
}

#[test]
fn the_same_in_json_is_the_same() {
    let value: serde_json::Value = serde_norway::from_str::<serde_norway::Value>(ANTRAG_30)
        .and_then(serde_norway::from_value)
        .unwrap_or_default();
    assert!(value.is_null(), "keys that are numbers are none of JSON");
    let json = document::read(ANTRAG_30.as_bytes()).expect("YAML").to_string();
    check(&compare_files("openapi", ANTRAG_30, &json), &[]);
    check_edits(
        &[
            ("title: Führungszeugnis", "title: Zeugnis"),
            ("/antraege/{id}", "/antraege/{nummer}"),
            ("{name: id,", "{name: nummer,"),
        ],
        &[],
    );
}

#[test]
fn paths_and_operations() {
    check_edits(
        &[("  /antraege/{id}:", "  /vorgaenge/{id}:")],
        &["! PATH_REMOVED #/paths/~1antraege~1{id}", "+ PATH_ADDED #/paths/~1vorgaenge~1{id}"],
    );
    check_edits(
        &[("    delete:", "    put:")],
        &[
            "! OPERATION_REMOVED #/paths/~1antraege~1{id}/delete",
            "+ OPERATION_ADDED #/paths/~1antraege~1{id}/put",
        ],
    );
    check_edits(
        &[("    delete:", "    delete:\n      deprecated: true")],
        &["? OPERATION_DEPRECATED #/paths/~1antraege~1{id}/delete"],
    );
    check_edits(
        &[("https://dienst.example/v1", "https://dienst.example/v2")],
        &["? SECTION_CHANGED #/servers"],
    );
}

#[test]
fn parameters_are_input() {
    let base = "#/paths/~1antraege/get/parameters";
    check_edits(
        &[("maximum: 1000", "maximum: 100")],
        &[&format!("! MAXIMUM_LOWERED {base}/0/schema/maximum")],
    );
    check_edits(
        &[("enum: [neu, erledigt]", "enum: [neu, erledigt, offen]")],
        &[&format!("+ ENUM_WIDENED {base}/1/schema/enum")],
    );
    check_edits(
        &[("enum: [neu, erledigt]", "enum: [neu]")],
        &[&format!("! ENUM_NARROWED {base}/1/schema/enum")],
    );
    check_edits(
        &[("{name: seite, in: query,", "{name: seite, in: query, required: true,")],
        &[&format!("! PARAMETER_REQUIRED {base}/0")],
    );
    check_edits(
        &[("{name: seite, in: query,", "{name: blatt, in: query, required: true,")],
        &[
            &format!("! PARAMETER_REMOVED {base}/0"),
            &format!("! PARAMETER_REQUIRED_ADDED {base}/0"),
        ],
    );
    check_edits(
        &[("{name: seite, in: query,", "{name: seite, in: query, explode: false,")],
        &[&format!("! PARAMETER_STYLE_CHANGED {base}/0")],
    );
    check_edits(
        &[("{name: seite, in: query,", "{name: seite, in: query, style: form, explode: true,")],
        &[],
    );
}

#[test]
fn a_schema_shared_by_request_and_response_is_compared_both_ways() {
    let base = "#/components/schemas";
    // what may be said grows: fine in a request, not in an answer
    check_edits(
        &[("enum: [privat, behoerde]", "enum: [privat, behoerde, europa]")],
        &[
            &format!("! ENUM_WIDENED {base}/Antrag/properties/zweck/enum"),
            &format!("+ ENUM_WIDENED {base}/Antrag/properties/zweck/enum"),
        ],
    );
    check_edits(
        &[("required: [name]", "required: [name, geburtsdatum]")],
        &[
            &format!("! REQUIRED_ADDED {base}/Person/properties/geburtsdatum"),
            &format!("+ REQUIRED_ADDED {base}/Person/properties/geburtsdatum"),
        ],
    );
    check_edits(
        &[("required: [zweck, person, nummer]", "required: [zweck, person]")],
        &[&format!("! REQUIRED_REMOVED {base}/Antrag/properties/nummer")],
    );
    check_edits(
        &[("        geburtsdatum: {type: string, format: date}\n", "")],
        &[
            &format!("! PROPERTY_REMOVED {base}/Person/properties/geburtsdatum"),
            &format!("? PROPERTY_REMOVED {base}/Person/properties/geburtsdatum"),
        ],
    );
    check_edits(
        &[("nullable: true, ", "")],
        &[
            &format!("! TYPE_NARROWED {base}/Antrag/properties/bemerkung/type"),
            &format!("+ TYPE_NARROWED {base}/Antrag/properties/bemerkung/type"),
        ],
    );
}

#[test]
fn requests_and_responses() {
    let post = "#/paths/~1antraege/post";
    check_edits(
        &[("          application/xml:", "          application/cbor:")],
        &[
            &format!("! MEDIA_TYPE_REMOVED {post}/requestBody/content/application~1xml"),
            &format!("+ MEDIA_TYPE_ADDED {post}/requestBody/content/application~1cbor"),
        ],
    );
    check_edits(
        &[("        201:", "        202:")],
        &[
            &format!("! RESPONSE_REMOVED {post}/responses/201"),
            &format!("? RESPONSE_ADDED {post}/responses/202"),
        ],
    );
    check_edits(
        &[("        404: {description: fehlt}\n", "")],
        &["? RESPONSE_REMOVED #/paths/~1antraege/get/responses/404"],
    );
    check_edits(
        &[("Location: {required: true,", "Location: {")],
        &[&format!("! HEADER_OPTIONAL {post}/responses/201/headers/Location")],
    );
    check_edits(
        &[("Location: {required", "Ort: {required")],
        &[&format!("! HEADER_REMOVED {post}/responses/201/headers/Location")],
    );
    check_edits(
        &[(
            "properties: {title: {type: string}}, required: [title]",
            "properties: {title: {type: integer}}",
        )],
        &[
            "! REQUIRED_REMOVED #/components/responses/Fehler/content/application~1problem+json/schema/properties/title",
            "! TYPE_WIDENED #/components/responses/Fehler/content/application~1problem+json/schema/properties/title/type",
        ],
    );
    check_edits(
        &[("    delete:", "    delete:\n      requestBody: {required: true, content: {}}")],
        &["! REQUEST_BODY_ADDED #/paths/~1antraege~1{id}/delete/requestBody"],
    );
}

#[test]
fn security() {
    let all: Vec<String> =
        ["~1antraege/get", "~1antraege/post", "~1antraege~1{id}/delete", "~1antraege~1{id}/get"]
            .map(|it| format!("! SECURITY_NARROWED #/paths/{it}/security"))
            .to_vec();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    check_edits(&[("- fitConnect: [antrag]", "- fitConnect: [antrag, lesen]")], &all);
    check_edits(&[("- fitConnect: [antrag]", "- offen: []")], &all);
    check_edits(&[("- fitConnect: [antrag]", "- fitConnect: [antrag]\n- offen: []")], &[]);
    check_edits(&[("- fitConnect: [antrag]", "- {}")], &[]);
    check_edits(
        &[("fitConnect: {type: oauth2, flows: {}}", "fitConnect: {type: http, scheme: bearer}")],
        &["! SECURITY_SCHEME_CHANGED #/components/securitySchemes"],
    );
    let open = edited(ANTRAG_30, &[("security:\n- fitConnect: [antrag]\n", "")]);
    check(&compare_files("openapi", &open, ANTRAG_30), &all);
}

#[test]
fn openapi_31_in_json() {
    let old = r##"{"openapi": "3.1.0", "info": {"title": "Parken", "version": "1"},
      "paths": {"/ausweise/{id}": {"get": {
        "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
        "responses": {"200": {"description": "", "content": {"application/json": {"schema": {
          "oneOf": [{"$ref": "#/components/schemas/Bewohner"}, {"$ref": "#/components/schemas/Gewerbe"}],
          "discriminator": {"propertyName": "art"}}}}}}}}},
      "components": {"schemas": {
        "Bewohner": {"type": "object", "required": ["art", "zone"], "properties": {
          "art": {"const": "bewohner"}, "zone": {"type": ["string", "null"]}}},
        "Gewerbe": {"type": "object", "required": ["art"], "properties": {
          "art": {"const": "gewerbe"}, "fahrzeuge": {"type": "integer", "exclusiveMaximum": 100}}}}},
      "webhooks": {"abgelaufen": {"post": {"responses": {"200": {"description": ""}}}}}}"##;
    let check_edits = |edits: &[(&str, &str)], expect: &[&str]| {
        check(&compare_files("openapi", old, &edited(old, edits)), expect);
    };
    let base = "#/components/schemas";
    check_edits(&[(r#""type": ["string", "null"]"#, r#""type": "string""#)], &[]);
    check_edits(
        &[(r#""type": ["string", "null"]"#, r#""type": ["string", "null", "integer"]"#)],
        &[&format!("! TYPE_WIDENED {base}/Bewohner/properties/zone/type")],
    );
    check_edits(&[(r#""exclusiveMaximum": 100"#, r#""maximum": 99"#)], &[]);
    check_edits(
        &[(r#""exclusiveMaximum": 100"#, r#""maximum": 100"#)],
        &[&format!("! MAXIMUM_RAISED {base}/Gewerbe/properties/fahrzeuge/maximum")],
    );
    check_edits(&[("abgelaufen", "beendet")], &["? SECTION_CHANGED #/webhooks"]);
    check_edits(&[("3.1.0", "2.0")], &["! DOCUMENT_UNREADABLE "]);
    check(&compare_files("openapi", &edited(old, &[("3.1.0", "2.0")]), old), &["? NOT_COMPARED "]);
}

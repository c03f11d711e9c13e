resource "terraform_data" "one" { input = "one" }

check "never_right" {
  assert {
    condition     = terraform_data.one.input == "two"
    error_message = "One is not two."
  }
}

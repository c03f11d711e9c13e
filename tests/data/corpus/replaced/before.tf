resource "terraform_data" "one" { triggers_replace = "1" }

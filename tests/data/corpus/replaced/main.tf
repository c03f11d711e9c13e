resource "terraform_data" "one" { triggers_replace = "2" }

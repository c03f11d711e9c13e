resource "terraform_data" "old" { input = "small" }

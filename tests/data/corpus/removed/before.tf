resource "terraform_data" "old" { input = "precious" }

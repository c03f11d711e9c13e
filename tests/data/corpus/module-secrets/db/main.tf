variable "password" {
  type      = string
  sensitive = true
}

resource "terraform_data" "database" { input = { name = "dagster", password = var.password } }

resource "terraform_data" "new" { input = "precious" }

moved {
  from = terraform_data.old
  to   = terraform_data.new
}

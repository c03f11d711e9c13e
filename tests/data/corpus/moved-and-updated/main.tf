resource "terraform_data" "new" { input = "large" }

moved {
  from = terraform_data.old
  to   = terraform_data.new
}

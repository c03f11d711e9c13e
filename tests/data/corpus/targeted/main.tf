resource "terraform_data" "wanted" { input = "a" }
resource "terraform_data" "left_out" { input = "b" }

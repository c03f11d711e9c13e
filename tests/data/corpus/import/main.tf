import {
  to = terraform_data.found
  id = "11111111-2222-3333-4444-555555555555"
}

resource "terraform_data" "found" {}

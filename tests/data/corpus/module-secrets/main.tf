variable "password" {
  type      = string
  sensitive = true
  default   = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
}

module "db" {
  source   = "./db"
  password = var.password
}

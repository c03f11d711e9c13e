module "pools" { source = "./pools" }

moved {
  from = terraform_data.pool
  to   = module.pools.terraform_data.this
}
